"""Parts of decoding one image: bounds of memory and pixels, any mode to RGB, DICOM."""
