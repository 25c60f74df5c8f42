"""Images in class folders, zip archives of them, and columns of encoded images: found, checked and decoded."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
MAX_ENCODED_BYTES = 2**26  # of one image's file
