//! Templates, each beside harmless ones.

use custos_core::finding::Severity;

use super::reader::Reader;

fn seen(source: &str) -> Vec<(&'static str, Severity)> {
    let reader = Reader::whole(source);
    let sights = reader.finish();
    sights
        .iter()
        .map(|sight| (sight.rule.id, sight.severity))
        .collect()
}

#[test]
fn inner_attributes_however_they_are_spelled() {
    for source in [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ x['__class__'] }}",
        "{{ x|attr('__class__') }}",
        "{{ x|attr('__cla' ~ 'ss__') }}",
        "{{ x['__cla' + 'ss__'] }}",
        "{{ x['__cla' 'ss__'] }}",
        "{{ x['\\x5f\\x5fclass\\x5f\\x5f'] }}",
        "{{ x['\\u005f_class_\\137'] }}",
        "{{ x['\\N{LOW LINE}_class__'] }}",
        "{{ x[['__cla','ss__']|join] }}",
        "{{ x[''.join(['__cla','ss__'])] }}",
        "{{ x['__ssalc__'[::-1]] }}",
        "{{ x['__ssalc__'|reverse] }}",
        "{{ x['%s%s'|format('__cla','ss__')] }}",
        "{{ x['%c%cclass%c%c' % (95,95,95,95)] }}",
        "{{ x['%c%cclass%c%c'|format(95,95,95,95)] }}",
        "{{ x['{}{}'.format('__cla','ss__')] }}",
        "{{ x['XXclassXX'.replace('X','_')] }}",
        "{{ x['XXclassXX'|replace('X','_')] }}",
        "{{ x['__CLASS__'|lower] }}",
        "{{ x['a__class__'[1:]] }}",
        "{% set a = '__cla' %}{% set b = 'ss__' %}{{ x[a ~ b] }}",
        "{% set a %}__class__{% endset %}{{ x[a] }}",
        "{% set ns = namespace(a='__class__') %}{{ x|attr(ns.a) }}",
        "{% set ns.a = '__class__' %}{{ x|attr(ns.a) }}",
        "{% for a in ['__class__', 'b'] %}{{ x[a] }}{% endfor %}",
        "{{ xs|map(attribute='__class__')|list }}",
        "{{ xs|map('attr', '__class__')|list }}",
        "{{ xs|sort(attribute='a.__class__') }}",
        "{{ x[dict(__cla=a,ss__=b)|join] }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% if x.__class__ %}{% endif %}",
        "{% macro m(a=x.__class__) %}{% endmacro %}",
        "{{ '}}' ~ x.__class__ }}",
        "{{ f.gi_frame }}",
        "{%- set x = (messages|first).__class__ -%}",
    ] {
        let seen = seen(source);
        let inner = seen
            .iter()
            .find(|(rule, _)| *rule == "template/inner-attribute");
        assert!(
            inner.is_some_and(|(_, severity)| *severity >= Severity::High),
            "{source}: {seen:?}"
        );
    }
}

// What reaches inside of Python, each beside what does not.
const HIDDEN: &[(&str, &str)] = &[
    (
        "{{ '{0.__class__}'.format(x) }}",
        "{{ '{0.name} {0[__class__]}'.format(x) }}",
    ),
    (
        "{{ '{a.__init__}'.format_map(m) }}",
        "{{ '{{a.__init__}}'.format(1) }}",
    ),
    (
        "{% set f = '{0.__class__}'.format %}{{ f(x) }}",
        "{% set f = '{0.role}'.format %}{{ f(x) }}",
    ),
    (
        "{{ ('{0.__class__}'|attr('format'))(x) }}",
        "{{ '{0.__class__}'|attr('title') }}",
    ),
    (
        "{{ '{0!r:{1.__mro__}}'['format'](x, y) }}",
        "{{ '{0!r:{1}}'['format'](x, y) }}",
    ),
    (
        "{% macro get(k='__base__') %}{{ x[k] }}{% endmacro %}",
        "{% macro get(k='base') %}{{ x[k] }}{% endmacro %}",
    ),
    (
        "{% macro get(o, k) %}{{ o[k] }}{% endmacro %}{{ get(x, '__base__') }}",
        "{% macro get(o, k) %}{{ o[k] }}{% endmacro %}{{ get(x, '_base_') }}",
    ),
    (
        "{% macro get(k) %}{{ x[k] }}{% endmacro %}{{ get(k='__ba' ~ 'se__') }}",
        "{% macro get(k) %}{{ x[k] }}{% endmacro %}{{ put(k='__base__') }}",
    ),
    (
        "{% macro a(k) %}{{ x[k] }}{% endmacro %}{% macro b(k) %}{{ a(k) }}{% endmacro %}{{ b('__base__') }}",
        "{% macro a(k) %}{{ k }}{% endmacro %}{{ a('__base__') }}",
    ),
    (
        "{% macro word() -%} __base__ {%- endmacro %}{{ x[word()] }}",
        "{% macro word() %}__base__{% endmacro %}{{ word() }}",
    ),
    (
        "{% macro m() %}{{ caller('__base__') }}{% endmacro %}{% call(k) m() %}{{ x[k] }}{% endcall %}",
        "{% macro m() %}{{ caller('base') }}{% endmacro %}{% call(k) m() %}{{ x[k] }}{% endcall %}",
    ),
    (
        "{% set d = {'k': '__base__'} %}{{ x[d.k] }}",
        "{% set d = {'k': '__base__', 'l': 'l'} %}{{ x[d.l] }}",
    ),
    (
        "{% set d = {'k': '__base__'} %}{{ x[d['k']] }}",
        "{% set d = {'k': 'k'} %}{{ x[d['k']] }}",
    ),
    (
        "{% set d = {'k': '__base__'} %}{{ x[d.get('k')] }}",
        "{% set d = {'k': '__base__'} %}{{ x[d.get('m')] }}",
    ),
    (
        "{% set d = {'k': '__base__'} %}{{ x[d.values()|first] }}",
        "{% set d = {'k': '__base__'} %}{{ x[d.keys()|first] }}",
    ),
    (
        "{% for k, v in {'k': '__base__'}.items() %}{{ x[v] }}{% endfor %}",
        "{% for k, v in {'k': '__base__'}.items() %}{{ x[k] }}{% endfor %}",
    ),
    (
        "{{ x[{'k': '__base__'}['k']] }}",
        "{{ {'k': '__base__'}['k'] }}",
    ),
    (
        "{{ x[dict(k='__base__').k] }}",
        "{{ x[dict(k='__base__')|join] }}",
    ),
    (
        "{{ x[dict(__base__=1).keys()|list|first] }}",
        "{{ x[dict(base__=1).keys()|list|first] }}",
    ),
    (
        "{{ x[({'__base__': 1}|dictsort)[0][0]] }}",
        "{{ x[({'base': 1}|dictsort)[0][0]] }}",
    ),
    (
        "{{ x['__base__' if messages else 'b'] }}",
        "{{ x['base' if messages else 'b'] }}",
    ),
    ("{{ x[none or '__base__'] }}", "{{ x[none or 'base'] }}"),
    (
        "{{ x[missing|default('__base__')] }}",
        "{{ x[missing]|default('__base__') }}",
    ),
    (
        "{{ x[['a', '__base__']|random] }}",
        "{{ ['a', '__base__']|random }}",
    ),
    (
        "{% set a = 'a' %}{% if y %}{% set a = '__base__' %}{% else %}{% set a = 'b' %}{% endif %}{{ x[a] }}",
        "{% set a = '__base__' %}{% set a = 'b' %}{{ x[a] }}",
    ),
    (
        "{% set a, b = 'a', '__base__' %}{{ x[b] }}",
        "{% set a, b = 'a', '__base__' %}{{ x[a] }}",
    ),
    (
        "{% with a = 1, b = '__base__' %}{{ x[b] }}{% endwith %}",
        "{% with a = 1, b = '__base__' %}{{ x[a] }}{% endwith %}",
    ),
    (
        "{% set a %}__ba{% endset %}{% set b %}{{ a }}se__{% endset %}{{ x[b] }}",
        "{% set a %}__ba{% endset %}{% set b %}{{ a }}se{% endset %}{{ x[b] }}",
    ),
    (
        "{% set l = [] %}{% set _ = l.append('__base__') %}{{ x[l[0]] }}",
        "{% set l = [] %}{% set _ = l.append('base') %}{{ x[l[0]] }}",
    ),
    (
        "{% filter attr('__base__') %}x{% endfilter %}",
        "{% filter replace('__base__', '') %}x{% endfilter %}",
    ),
    (
        "{{ x['__' ~ messages[0].content ~ '__'] }}",
        "{{ x['role_' ~ messages[0].content ~ '__'] }}",
    ),
    (
        "{% set u = (()|select|string|list)[24] %}{{ x[u * 2 ~ 'base' ~ u * 2] }}",
        "{% set u = (()|select|string|list)[25] %}{{ x[u * 2 ~ 'base' ~ u * 2] }}",
    ),
    (
        "{{ x['{u}{u}base__'.format(u='_')] }}",
        "{{ x['{u}{u}base__'.format(u='-')] }}",
    ),
    (
        "{{ x['%(u)sbase%(u)s'|format(u='__')] }}",
        "{{ x['%(u)sbase%(u)s'|format(u='.')] }}",
    ),
    (
        "{{ x[['__ba', 'se__']|map('lower')|join] }}",
        "{{ x[['ba', 'se']|map('lower')|join] }}",
    ),
    (
        "{{ x['__base__...'|truncate(8, true, '', 0)] }}",
        "{{ x['__base__...'|truncate(5, true, '', 0)] }}",
    ),
];

#[test]
fn names_by_way_of_macros_dictionaries_choices_and_fields() {
    for (bad, good) in HIDDEN {
        let inner = |source| {
            let seen = seen(source);
            seen.iter().any(|(rule, severity)| {
                *rule == "template/inner-attribute" && *severity >= Severity::High
            })
        };
        assert!(inner(bad), "{bad}: {:?}", seen(bad));
        assert!(!inner(good), "{good}: {:?}", seen(good));
    }
}

#[test]
fn what_takes_all_time_or_memory() {
    for source in [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 9**9**9 }}",
        "{{ 'x'|center(1000000000) }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ [0] * 1000000000 }}",
        "{{ 'a%999999999d' % 1 }}",
        "{{ '%-0999999999d'|format(1) }}",
        "{{ '%.999999999f'|format(1) }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ '{0:.999999999f}'.format(1) }}",
        "{{ messages|tojson(indent=999999999) }}",
    ] {
        let found = seen(source);
        assert!(
            found.iter().any(|(rule, _)| *rule == "template/exhaustion"),
            "{source}: {found:?}"
        );
    }
    assert_eq!(
        seen(
            "{% for i in range(1000) %}{% endfor %}{{ 2**10 }}{{ '%08.3f%%' % 999999999 }}\
             {{ '{:>80} 999999999'.format(999999999) }}{{ x|tojson(indent=4) }}{{ 9 % 5 }}"
        ),
        []
    );
}

#[test]
fn other_signs() {
    for (source, rule) in [
        (
            "{{ x|attr(messages[0].content) }}",
            "template/computed-attribute",
        ),
        ("{{ config.items() }}", "template/framework-object"),
        ("{{ request['x'] }}", "template/framework-object"),
        ("{{ eval('1') }}", "template/dangerous-call"),
        ("{{ os.popen('id') }}", "template/dangerous-call"),
        ("{{ a b }}", "template/unparsable"),
        ("{{ a", "template/unparsable"),
        ("{% frobnicate %}", "template/unparsable"),
        ("{{ '\\N{BULLET}' }}", "template/named-character"),
    ] {
        let found = seen(source);
        assert!(
            found.iter().any(|(found, _)| *found == rule),
            "{source}: {found:?}"
        );
    }
}

#[test]
fn words_are_no_code() {
    for source in [
        "__class__ {# {{ x.__class__ }} #} os.system('rm -rf /')",
        "{% raw %}{{ x.__class__ }}{% endraw %}",
        "{{ 'Never write __class__ or __import__(\"os\").system in an answer.' }}",
        "{{ '__class__' }}",
        "{% generation %}{{ message['content'] | trim }}{% endgeneration %}",
        "{%- for m in messages if m.role == 'user' -%}{{ loop.index0 }}{%- endfor -%}",
        "{{ raise_exception('System role not supported') }}{{ strftime_now('%d %b %Y') }}",
        "{% macro f(a, b=none, *args, **kwargs) %}{{ caller() }}{% endmacro %}{% call f(1) %}{% endcall %}",
        "{{ a if b }}{{ {'a': {'b': 1}} }}{{ a.b['c'][-1:][0].split('</think>')[-1].lstrip('\\n') }}",
        "{% set ns = namespace(found=false, _x=1) %}{% set ns.found = true %}{{ ns.found }}",
        "{{ tool | tojson(indent=4) }}{{ x is not defined and y is mapping or z is string }}",
        "{% set a, b = 1, 2 %}{% do xs.append(1) %}{% if not a %}{% elif b %}{% else %}{% endif %}",
    ] {
        assert_eq!(seen(source), [], "{source}");
    }
}
