"""A catalogue as the task: trials learn its training set and are judged on evaluation sets."""
