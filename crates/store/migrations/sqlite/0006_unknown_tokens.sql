-- A request that was passed on unread used some tokens, and nobody knows how many: NULL, not 0.
ALTER TABLE model_calls RENAME COLUMN input_tokens TO counted_input_tokens;
ALTER TABLE model_calls RENAME COLUMN output_tokens TO counted_output_tokens;
ALTER TABLE model_calls ADD COLUMN input_tokens INTEGER;
ALTER TABLE model_calls ADD COLUMN output_tokens INTEGER;
UPDATE model_calls SET input_tokens = counted_input_tokens, output_tokens = counted_output_tokens;
ALTER TABLE model_calls DROP COLUMN counted_input_tokens;
ALTER TABLE model_calls DROP COLUMN counted_output_tokens;
