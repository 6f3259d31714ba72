"""Contains everything that knows Ray: the session, a trial as a Tune function, trials side by side, shards as tasks."""
