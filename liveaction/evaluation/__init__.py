"""Codecs measured beside others: items, baselines, protocols, reports."""
