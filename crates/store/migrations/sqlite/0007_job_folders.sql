-- Which folders a job may be about: 'any' when the owner of the mesh created it, 'roots' otherwise. Jobs from before are
-- held to the tighter one.
ALTER TABLE jobs ADD COLUMN folders TEXT NOT NULL DEFAULT 'roots';
