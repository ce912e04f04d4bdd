"""Who: rosters, manifests, pledges, circles, epochs, and what may be sealed to whom.

In: records as bytes, and a time that the caller passes in. Out: frozen values, or an error that
names the rule. This room never reads or writes anything outside its arguments, never asks a clock,
and never takes silence for consent: whatever is empty, unknown or expired means nobody.

Bodies of records live here, and not in `records`, where they embed public keys: that room may not
import `sealing`.
"""

from darklantern.network.circles import Admin, Circle, Named, Removal, Terms, new_terms
from darklantern.network.effective import Effective, Excluded, Member, effective
from darklantern.network.founding import cosign, draft_circle, draft_manifest, draft_roster
from darklantern.network.heads import ForkedLogError, Head, LogFork, proves_fork
from darklantern.network.manifests import OrgManifest, Person
from darklantern.network.pledges import Breach, Commitment, Pledge, PledgeText
from darklantern.network.rosters import Expelled, NetworkRoot, Org, OrgRoot, Roster
from darklantern.network.states import Fork, Opaque
from darklantern.network.view import View, admit, append, fold
from darklantern.network.vouching import Notice, Vouch

__all__ = [
    "Admin",
    "Breach",
    "Circle",
    "Commitment",
    "Effective",
    "Excluded",
    "Expelled",
    "Fork",
    "ForkedLogError",
    "Head",
    "LogFork",
    "Member",
    "Named",
    "NetworkRoot",
    "Notice",
    "Opaque",
    "Org",
    "OrgManifest",
    "OrgRoot",
    "Person",
    "Pledge",
    "PledgeText",
    "Removal",
    "Roster",
    "Terms",
    "View",
    "Vouch",
    "admit",
    "append",
    "cosign",
    "draft_circle",
    "draft_manifest",
    "draft_roster",
    "effective",
    "fold",
    "new_terms",
    "proves_fork",
]
