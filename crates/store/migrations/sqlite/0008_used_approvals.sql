-- A decision answers one call. `used_by` is the call it answered last and `used_in` the attempt that was told; `spent` says
-- that a call began, or ended without beginning, on the strength of it. What was decided before this counts as spent.
ALTER TABLE approvals ADD COLUMN used_by TEXT;
ALTER TABLE approvals ADD COLUMN used_in INTEGER;
ALTER TABLE approvals ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
UPDATE approvals SET spent = 1 WHERE decision IS NOT NULL;
