"""The PostgreSQL side: tables, sessions and migrations."""
