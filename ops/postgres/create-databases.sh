#!/bin/bash
# First start only: one database and one role a service. Tables are made by the migrate jobs, as their owner.
set -eu
for role in ${ROLES:-referral review pool recovery gateway keycloak}; do
    password=$(cat "/run/secrets/$role")
    psql -h /var/run/postgresql -v ON_ERROR_STOP=1 -q -U "$POSTGRES_USER" -d postgres \
        -v role="$role" -v password="${password:?the file $role of the secrets is empty}" <<'SQL'
create role :"role" login password :'password';
create database :"role";
revoke connect on database :"role" from public;
grant connect on database :"role" to :"role";
SQL
done
