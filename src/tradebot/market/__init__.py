"""Klines in: types, protocols, the venue client, the weight budget and the incremental store."""
