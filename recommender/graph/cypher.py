"""Every Cypher text that is the same for each database that speaks it. Keep to what Ladybug and Neo4j both accept.

Edges carry `kind`, because reading an edge's type is `label(e)` in one and `type(e)` in the other. Order and limit stand in the last
RETURN, with a literal limit: Ladybug 0.22 ignores an ORDER BY before `WITH ... LIMIT ... RETURN collect()`, and plans a limit that is
a parameter at twice the cost. Edges are made one a statement: `UNWIND ... MERGE` silently loses rows there (LadybugDB issues 285, 798), and
MERGE of an edge costs twice what looking for it and creating it does.
"""

from services.contracts import EventKind

EDGES: dict[EventKind, str] = {"view": "VIEWED", "click": "CLICKED", "cart": "CARTED", "purchase": "BOUGHT"}
_ANY = "|".join(EDGES.values())

POSITION = "MATCH (p:Position {`partition`: $partition}) RETURN p.`offset`"
SET_POSITION = "MERGE (p:Position {`partition`: $partition}) SET p.`offset` = $offset"
EXPIRE = f"MATCH (:User)-[e:{_ANY}]->(:Product) WHERE e.ts < $before DELETE e"
FORGET = "MATCH (u:User {key: $user}) DETACH DELETE u"
USER = "MERGE (:User {key: $user})"
USERS = "MATCH (u:User) RETURN count(u)"
PRODUCTS = "MATCH (p:Product) RETURN p.no"


def recent(limit: int) -> str:
    """Rows (event_id, kind, ts, product number) of `$user`, newest first."""
    return (
        f"MATCH (u:User {{key: $user}})-[e:{_ANY}]->(p:Product) "
        f"RETURN e.event_id AS id, e.kind AS kind, e.ts AS ts, p.no AS no ORDER BY ts DESC, id DESC LIMIT {int(limit)}"
    )


def known(kind: EventKind) -> str:
    """A row when `$user` has the edge `$event_id` to product `$no`."""
    return f"MATCH (u:User {{key: $user}})-[e:{EDGES[kind]} {{event_id: $event_id}}]->(p:Product {{no: $no}}) RETURN 1"


def create(kind: EventKind) -> str:
    """That edge; a row (1) when user and product are there."""
    return (
        "MATCH (u:User {key: $user}), (p:Product {no: $no}) "
        f"CREATE (u)-[:{EDGES[kind]} {{event_id: $event_id, kind: '{kind}', ts: $ts}}]->(p) RETURN 1"
    )
