"""USD-M futures of the simulated exchange: perpetual contracts on the same prices as its spot symbols."""
