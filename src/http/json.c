/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Read the members of a JSON object (RFC 8259).
 *
 * A reader of our own, because PostgreSQL's raises errors and needs a
 * transaction to convert encodings, and an answer is read without one.  It
 * never looks beyond the text, allocates nothing, and goes no deeper than
 * DEPTH_MAX.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "http/http.h"

#define DEPTH_MAX 32
#define WHITE " \t\r\n"

/* The text has a zero at its end, which is no part of it. */
typedef struct Reader
{
	const char *at;
	const char *end;
	char	   *out;			/* where the next text goes */
} Reader;

static bool skip_value(Reader *reader, int depth);

static void
skip_white(Reader *reader)
{
	reader->at += strspn(reader->at, WHITE);
}

/* The next character, after white space, if it is this one. */
static bool
take(Reader *reader, char wanted)
{
	skip_white(reader);
	if (*reader->at != wanted)
		return false;
	reader->at++;
	return true;
}

static bool
take_hex(Reader *reader, uint32 *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++)
	{
		char		c = *reader->at;

		if (c >= '0' && c <= '9')
			c -= '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			c = (c | 0x20) - 'a' + 10;
		else
			return false;
		*unit = *unit << 4 | c;
		reader->at++;
	}
	return true;
}

/* What follows \u, with its second half if it has one. */
static bool
take_unicode(Reader *reader)
{
	uint32		unit;
	uint32		low;

	if (!take_hex(reader, &unit))
		return false;
	if (is_utf16_surrogate_first(unit))
	{
		if (strncmp(reader->at, "\\u", 2) != 0)
			return false;
		reader->at += 2;
		if (!take_hex(reader, &low) || !is_utf16_surrogate_second(low))
			return false;
		unit = surrogate_pair_to_codepoint(unit, low);
	}
	else if (unit == 0 || is_utf16_surrogate_second(unit))
		return false;
	unicode_to_utf8(unit, (unsigned char *) reader->out);
	reader->out += pg_utf_mblen((unsigned char *) reader->out);
	return true;
}

static bool
take_escape(Reader *reader)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";
	const char *found;

	if (*reader->at == 'u')
	{
		reader->at++;
		return take_unicode(reader);
	}
	found = *reader->at != '\0' ? strchr(from, *reader->at) : NULL;
	if (found == NULL)
		return false;
	reader->at++;
	*reader->out++ = to[found - from];
	return true;
}

/*
 * A string, decoded to where reader->out was, with a zero behind it.  It is
 * never longer than it was with its quotes.
 */
static bool
take_string(Reader *reader)
{
	if (!take(reader, '"'))
		return false;
	while (*reader->at != '"')
	{
		if ((unsigned char) *reader->at < 0x20)
			return false;		/* also the end */
		if (*reader->at != '\\')
			*reader->out++ = *reader->at++;
		else
		{
			reader->at++;
			if (!take_escape(reader))
				return false;
		}
	}
	reader->at++;
	*reader->out++ = '\0';
	return true;
}

/* A number or a word; copied like a string. */
static bool
take_scalar(Reader *reader)
{
	size_t		length;

	skip_white(reader);
	length = strspn(reader->at, "+-.0123456789"
					"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (length == 0)
		return false;
	memcpy(reader->out, reader->at, length);
	reader->at += length;
	reader->out[length] = '\0';
	return *reader->out == '-' ||
		(*reader->out >= '0' && *reader->out <= '9') ||
		strcmp(reader->out, "true") == 0 ||
		strcmp(reader->out, "false") == 0 ||
		strcmp(reader->out, "null") == 0;
}

/* The rest of an array or an object. */
static bool
skip_members(Reader *reader, char close, int depth)
{
	if (depth > DEPTH_MAX)
		return false;
	if (take(reader, close))
		return true;
	do
	{
		if (close == '}' && (!take_string(reader) || !take(reader, ':')))
			return false;
		if (!skip_value(reader, depth))
			return false;
	} while (take(reader, ','));
	return take(reader, close);
}

static bool
skip_value(Reader *reader, int depth)
{
	char	   *out = reader->out;
	bool		good;

	skip_white(reader);
	if (*reader->at == '"')
		good = take_string(reader);
	else if (take(reader, '{'))
		good = skip_members(reader, '}', depth + 1);
	else if (take(reader, '['))
		good = skip_members(reader, ']', depth + 1);
	else
		good = take_scalar(reader);
	reader->out = out;
	return good;
}

/* A value that is wanted: a string, a number, a word. */
static bool
read_value(Reader *reader, const char **value)
{
	*value = reader->out;
	skip_white(reader);
	if (*reader->at == '"')
		return take_string(reader);
	if (!take_scalar(reader))
		return false;
	if (strcmp(*value, "null") == 0)
		*value = NULL;
	else
		reader->out += strlen(reader->out) + 1;
	return true;
}

static int
find_name(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

static const char *
read_member(Reader *reader, const char *const *names, int count,
			const char **values, uint32 *seen)
{
	char	   *name = reader->out;
	int			found;

	if (!take_string(reader) || !take(reader, ':'))
		return "the body is not a JSON object";
	found = find_name(name, names, count);
	reader->out = name;
	if (found < 0)
		return skip_value(reader, 1) ? NULL : "the body is not a JSON object";
	if ((*seen & (1u << found)) != 0)
		return "the body has a member twice";
	*seen |= 1u << found;
	return read_value(reader, &values[found]) ? NULL :
		"a member of the body is not a text";
}

const char *
json_read_members(const char *json, size_t length, const char *const *names,
				  int count, const char **values, char *buffer)
{
	Reader		reader = {.at = json,.end = json + length,.out = buffer};
	uint32		seen = 0;
	const char *problem;

	Assert(count <= 32);

	memset(values, 0, count * sizeof(char *));
	if (strlen(json) != length || !take(&reader, '{'))
		return "the body is not a JSON object";
	if (!take(&reader, '}'))
	{
		do
		{
			problem = read_member(&reader, names, count, values, &seen);
			if (problem != NULL)
				return problem;
		} while (take(&reader, ','));
		if (!take(&reader, '}'))
			return "the body is not a JSON object";
	}
	skip_white(&reader);
	return reader.at == reader.end ? NULL : "the body is not a JSON object";
}
