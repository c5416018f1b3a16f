"""Output folders at other places than a disk, such as ``s3://bucket/path``: they are worked on as local copies."""
