#!/bin/bash
# First start only: one database and one role a service. Tables are made by the migrate jobs, as their owner.
set -eu
for service in referral review pool recovery gateway; do
    variable="${service^^}_DB_PASSWORD"
    psql -h /var/run/postgresql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d postgres -v role="$service" -v password="${!variable}" <<'SQL'
create role :"role" login password :'password';
create database :"role";
revoke connect on database :"role" from public;
grant connect on database :"role" to :"role";
SQL
done
