-- What exams found out about models. The key names the model: `digest:…`, or `name:provider/name` where none is known.
CREATE TABLE model_profiles (
    key      TEXT    NOT NULL PRIMARY KEY,
    found_at INTEGER NOT NULL,
    detail   TEXT    NOT NULL   -- JSON: the profile and the exam it comes from
) STRICT, WITHOUT ROWID;
