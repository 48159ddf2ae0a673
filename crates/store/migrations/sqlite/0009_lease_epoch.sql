-- Since when a job is leased: attempt numbers come again after a restore, and with them an agent of before. Whatever runs
-- when this is added has none, and goes back into the queue.
ALTER TABLE jobs ADD COLUMN lease_epoch INTEGER;

-- Digests of the attempt's last batches of events, sixteen hex digits each, the newest last: a number that comes again with
-- other events is noticed.
ALTER TABLE jobs ADD COLUMN recent_batches TEXT;

-- Logs are kept whole or deleted with their job.
ALTER TABLE jobs DROP COLUMN retained_after;
