"""Export a trained model: python -m seqlab.export RUN. `load_export` loads the export."""
