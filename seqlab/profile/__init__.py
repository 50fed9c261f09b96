"""seqlab profile: what a model can learn, ability by ability, beside every architecture that ships."""
