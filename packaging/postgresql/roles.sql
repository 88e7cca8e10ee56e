-- The roles of the ledger on PostgreSQL, and its database: run once, as a superuser, in any database:
--
--     psql -f roles.sql
--     psql -c '\password scribe_owner' -c '\password scribe_ledger'
--
-- scribe_owner   owns the database and makes its schema: scribe-ledger --migrate, at the installation and at an upgrade
-- scribe_ledger  what the service logs in as: rows and nothing else. It can neither make, change nor drop a table; two functions
--                of the owner's make the usage's partitions for it, and drop those that are past
-- scribe_reader  for people and reports: the views scribe.usage_event, scribe.usage_by_hour, scribe.key. No digests of keys
--
-- What each may do with the tables is granted by scribe-ledger --migrate, since only then there are any.
\set ON_ERROR_STOP on

CREATE ROLE scribe_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE ROLE scribe_ledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;
CREATE ROLE scribe_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE scribe OWNER scribe_owner ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE scribe FROM PUBLIC;
GRANT CONNECT ON DATABASE scribe TO scribe_ledger, scribe_reader;
