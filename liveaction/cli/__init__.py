"""The command ``liveaction``: ``main`` puts the verbs together, each verb has a file."""
