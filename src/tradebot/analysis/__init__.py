"""Panels → 31 features → scores, inline or in the worker pool."""
