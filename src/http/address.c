/*-------------------------------------------------------------------------
 *
 * address.c
 *	  Addresses that are nobody else's: this machine, its networks, and what
 *	  is no address of a single machine.
 *
 * From the registries of special-purpose addresses (RFC 6890).  An address
 * that wraps another one (IPv4-mapped and -compatible, NAT64, 6to4) would lead
 * around the table: the first two are refused, the others judged by what is
 * in them.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/http.h"

typedef struct Network
{
	uint8		prefix[8];
	int			bits;
} Network;

static const Network private_v4[] = {
	{{0}, 8},					/* this network */
	{{10}, 8},					/* private */
	{{100, 64}, 10},			/* shared by a provider's customers */
	{{127}, 8},					/* loopback */
	{{169, 254}, 16},			/* link-local: also clouds' metadata */
	{{172, 16}, 12},			/* private */
	{{192, 0, 0}, 24},			/* protocol assignments */
	{{192, 0, 2}, 24},			/* documentation */
	{{192, 168}, 16},			/* private */
	{{198, 18}, 15},			/* benchmarks */
	{{198, 51, 100}, 24},		/* documentation */
	{{203, 0, 113}, 24},		/* documentation */
	{{224}, 4},					/* multicast */
	{{240}, 4}					/* reserved, broadcast */
};

static const Network private_v6[] = {
	{{0}, 64},					/* loopback, unspecified, IPv4 in IPv6 */
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48}, /* NAT64 of a site */
	{{0x01}, 64},				/* to be discarded */
	{{0x20, 0x01, 0x00, 0x00}, 32}, /* Teredo */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
	{{0xfc}, 7},				/* unique local */
	{{0xfe, 0x80}, 10},			/* link-local */
	{{0xfe, 0xc0}, 10},			/* site-local */
	{{0xff}, 8}					/* multicast */
};

static const Network nat64 = {{0x00, 0x64, 0xff, 0x9b}, 64};
static const Network six_to_four = {{0x20, 0x02}, 16};

static bool
is_in(const uint8 *address, const Network *network)
{
	int			whole = network->bits / 8;
	int			rest = network->bits % 8;

	return memcmp(address, network->prefix, whole) == 0 &&
		(rest == 0 ||
		 (address[whole] ^ network->prefix[whole]) >> (8 - rest) == 0);
}

static bool
is_public_v4(const uint8 *address)
{
	for (int i = 0; i < lengthof(private_v4); i++)
		if (is_in(address, &private_v4[i]))
			return false;
	return true;
}

static bool
is_public_v6(const uint8 *address)
{
	for (int i = 0; i < lengthof(private_v6); i++)
		if (is_in(address, &private_v6[i]))
			return false;
	if (is_in(address, &nat64))
		return is_public_v4(address + 12);
	if (is_in(address, &six_to_four))
		return is_public_v4(address + 2);
	return true;
}

bool
address_is_public(const struct sockaddr *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;

	if (address->sa_family == AF_INET)
		return is_public_v4((const uint8 *) &v4->sin_addr);
	if (address->sa_family == AF_INET6)
		return is_public_v6((const uint8 *) &v6->sin6_addr);
	return false;
}

bool
address_text_is_public(const char *text)
{
	uint8		address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, text, address) == 1)
		return is_public_v4(address);
	if (inet_pton(AF_INET6, text, address) == 1)
		return is_public_v6(address);
	return false;
}
