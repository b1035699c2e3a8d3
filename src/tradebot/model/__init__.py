"""Features to probabilities: the ONNX predictor, the export from XGBoost, labels and training."""
