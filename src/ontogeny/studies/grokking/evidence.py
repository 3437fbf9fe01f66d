from ontogeny.studies.claims import Claims
claims = Claims(source="x")
