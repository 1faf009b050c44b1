"""Results as text (RTTM, CTM, SRT, WebVTT, JSON) and separated voices as WAV files."""
