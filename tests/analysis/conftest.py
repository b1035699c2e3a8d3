"""Lets the tests below import `markets`."""
