-- Carries all opt-outs from a SQLite database of Postroom over to a new, empty one on PostgreSQL, of
-- the same version, before a daemon runs on it:
--
--   postroom migrate up   # with database.url of PostgreSQL
--   sqlite3 -readonly postroom.db < ops/opt_outs_to_postgres.sql | psql -1 -v ON_ERROR_STOP=1 postgres://…
--
-- It prints statements for psql: the key of the suppressions, the suppressed identities, each opt-out, and
-- of the leads that have opted out their identities and no more.
select 'update installation set value = ' || quote(value) || ' where name = ' || quote(name) || ';'
from installation;

select 'insert into leads (id, client_id, status, opted_out_at, opted_out_channel, opted_out_reason, created_at) values ('
    || id || ', ' || quote(client_id) || ', ''blacklisted'', to_timestamp(' || opted_out_at || ' / 1000.0), '
    || quote(opted_out_channel) || ', ' || quote(opted_out_reason) || ', to_timestamp(' || created_at || ' / 1000.0));'
from leads where opted_out_at is not null and merged_into is null;

select 'insert into lead_identities (client_id, kind, value, lead_id) values ('
    || quote(i.client_id) || ', ' || quote(i.kind) || ', ' || quote(i.value) || ', ' || i.lead_id || ');'
from lead_identities i join leads l on l.id = i.lead_id
where l.opted_out_at is not null and l.merged_into is null;

select 'insert into opt_outs (id, client_id, lead_id, opted_out_at, channel, reason, source, noted_by) values ('
    || o.id || ', ' || quote(o.client_id) || ', ' || quote(o.lead_id) || ', to_timestamp(' || o.opted_out_at || ' / 1000.0), '
    || quote(o.channel) || ', ' || quote(o.reason) || ', ' || quote(o.source) || ', ' || quote(o.noted_by) || ');'
from opt_outs o where o.lifted_at is null;

select 'insert into suppressed (client_id, identity_hash, opt_out_id) values ('
    || quote(client_id) || ', ' || quote(identity_hash) || ', ' || opt_out_id || ');'
from suppressed;
