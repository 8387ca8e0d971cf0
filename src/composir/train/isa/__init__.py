"""ISA: image to sentence, asymmetric (arXiv 2403.01431); methods.md, section 1."""
