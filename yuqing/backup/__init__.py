"""Backups: a dump of the database and every object's content, in a bucket of their own, and the way back.

What lies in that bucket (every key under its prefix):

    data/<sha256[:2]>/<sha256>            an object's content, once however many keys and backups hold it
    database/<id>.dump                    pg_dump's custom format
    manifests/<id>/<number>.jsonl.gz      the objects of a backup: key, size, tag, modified, content_type, sha256
    backups/<id>.json                     the backup's record, written last: without it the backup does not exist

The order makes a backup taken beside running stages consistent. The database's snapshot is taken first: what its rows name is in
raw/ and media/ by then, and batches that come later are taken up by the cleaning after a restore. Then seen/, then raw/,
then media/: a segment of seen/ is written after its batch, and a batch after its recordings.
"""
