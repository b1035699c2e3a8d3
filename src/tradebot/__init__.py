"""tradebot: a machine-learning trading cycle for crypto exchanges, from the command line."""

__version__ = "0.1.0"
