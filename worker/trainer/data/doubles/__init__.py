"""Rows of doubles that wait on the disk until their scale is known, so that memory holds only what is trained on."""
