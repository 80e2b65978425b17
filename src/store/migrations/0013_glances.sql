-- What the loop saw, once a minute: for charts. `facts` is JSON.
CREATE TABLE glance (
    at INTEGER PRIMARY KEY, -- nanoseconds since 1970
    facts TEXT NOT NULL
) STRICT;
