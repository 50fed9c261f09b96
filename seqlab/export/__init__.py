"""Export a trained model: python -m seqlab.export RUN; `load_exported` loads what it wrote."""
