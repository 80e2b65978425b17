-- Tries at tasks on a cluster, until it is known what became of the task. `facts` is JSON.
CREATE TABLE attempt (
    instance TEXT PRIMARY KEY, -- the name of its Job
    task TEXT NOT NULL,
    facts TEXT NOT NULL
) STRICT;
