"""Export a trained model: seqlab export RUN. `load_export` loads the export."""
