"""OpenCV, for decoding and encoding alone. Imported when they, or a run, begin: it takes long."""

import cv2

__all__ = ["cv2"]

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it names no file; we do
