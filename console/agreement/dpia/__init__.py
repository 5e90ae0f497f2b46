"""The report of a data protection impact assessment (GDPR article 35), made from an agreement and configurations."""
