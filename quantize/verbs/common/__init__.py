"""What several verbs share: options, opened inputs, results."""
