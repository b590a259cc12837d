"""Video input: which clips a dataset has, how their frames are decoded, cached, sampled and augmented."""
