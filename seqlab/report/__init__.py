"""From runs to tables and plots. Nothing here knows a domain: it reads names like test/<group>/<metric>."""
