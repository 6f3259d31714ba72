"""Everything that knows Ray: the session, a trial as a Tune function, the trials side by side, shards as tasks."""
