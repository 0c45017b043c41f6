"""Plan in, bytes out: tasks, workers, positional writes."""
