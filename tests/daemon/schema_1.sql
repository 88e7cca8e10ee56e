-- A database of schema 1, with one usage event: what an upgrade finds.
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1397181489;
PRAGMA user_version = 1;
CREATE TABLE schema_version ( version INTEGER PRIMARY KEY, applied_wall_usec INTEGER NOT NULL);
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE api_key ( id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32), prefix TEXT NOT NULL, models TEXT CHECK (models LIKE '[%'), created_wall_usec INTEGER NOT NULL, expires_wall_usec INTEGER NOT NULL, revoked_wall_usec INTEGER NOT NULL, rotated_wall_usec INTEGER NOT NULL, version INTEGER NOT NULL);
CREATE UNIQUE INDEX api_key_live_name ON api_key (name) WHERE revoked_wall_usec = 0;
CREATE INDEX api_key_name ON api_key (name, revoked_wall_usec);
CREATE TABLE journal_ring ( id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, offset INTEGER NOT NULL, n_lost INTEGER NOT NULL, is_finished INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE open_exchange ( ring TEXT NOT NULL, exchange INTEGER NOT NULL, start_wall_usec INTEGER NOT NULL, key_id INTEGER NOT NULL, request_id TEXT NOT NULL, key_name TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL, upstream_model TEXT NOT NULL, prompt_bytes INTEGER NOT NULL, flags INTEGER NOT NULL, PRIMARY KEY (ring, exchange)) WITHOUT ROWID;
CREATE TABLE usage (
  id INTEGER PRIMARY KEY,
  ring TEXT NOT NULL,
  exchange INTEGER NOT NULL,
  day TEXT NOT NULL,
  start_wall_usec INTEGER NOT NULL,
  key_id INTEGER NOT NULL,
  request_id TEXT NOT NULL,
  key_name TEXT NOT NULL,
  operation TEXT NOT NULL,
  model TEXT NOT NULL,
  provider TEXT NOT NULL,
  upstream_model TEXT NOT NULL,
  prompt_bytes INTEGER NOT NULL,
  flags INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  status INTEGER NOT NULL,
  certainty TEXT NOT NULL,
  input_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  audio_input_tokens INTEGER NOT NULL,
  audio_output_tokens INTEGER NOT NULL,
  image_tokens INTEGER NOT NULL,
  duration_usec INTEGER NOT NULL,
  first_byte_usec INTEGER NOT NULL,
  answer_bytes INTEGER NOT NULL,
  reason TEXT NOT NULL,
  raw_usage TEXT NOT NULL);
CREATE INDEX usage_start ON usage (start_wall_usec);
INSERT INTO schema_version (version, applied_wall_usec) VALUES (1, 1767225600000000);
INSERT INTO counter (name, value) VALUES ('key_version', 0);
INSERT INTO usage (ring, exchange, day, start_wall_usec, key_id, request_id, key_name, operation, model, provider,
  upstream_model, prompt_bytes, flags, outcome, status, certainty, input_tokens, output_tokens, cached_tokens,
  cache_write_tokens, reasoning_tokens, audio_input_tokens, audio_output_tokens, image_tokens, duration_usec,
  first_byte_usec, answer_bytes, reason, raw_usage)
VALUES ('00000000000000000000000000000001', 1, '2026-01-01', 1767225600000000, 1, 'old', 'alice', 'chat', 'old-model', 'fake',
  'old-model', 100, 0, 'complete', 200, 'measured', 1000000, 500000, 0, 0, 0, 0, 0, 0, 9, 1, 200, '', '{}');
