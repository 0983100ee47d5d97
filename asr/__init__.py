"""Speech: recordings from S3 to timestamped transcripts, which go back to raw/ as documents."""
