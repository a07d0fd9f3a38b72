"""Evaluations that can be repeated, as YAML files; installed as ``liveaction.configs.protocols``."""
