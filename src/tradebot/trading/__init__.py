"""Probabilities → intents → orders → positions, crash-safe."""
