-- Whether anybody anywhere has it: one agent can stand behind several names and tenants.
create index a2a_names_upstream on a2a_names (kind, upstream);
