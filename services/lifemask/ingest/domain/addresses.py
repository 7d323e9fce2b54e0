"""Which addresses of the network are the public's, and none of ours."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_CARRIERS: Final = tuple(
    ip_network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10")
)
"""IPv6 that carries an IPv4 address inside (NAT64, 6to4, Teredo, compatible) or was for sites: it may lead anywhere."""


def is_public(text: str) -> bool:
    """Whether an address may be fetched from: global, and no way around that."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return False
        if any(address in net for net in _CARRIERS):
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
