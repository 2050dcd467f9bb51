//! Templates, each beside harmless ones.

use custos_core::finding::Severity;

use super::reader::Reader;

fn seen(source: &str) -> Vec<(&'static str, Severity)> {
    let mut reader = Reader::new(source);
    reader.read();
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
    ] {
        let found = seen(source);
        assert!(
            found.iter().any(|(rule, _)| *rule == "template/exhaustion"),
            "{source}: {found:?}"
        );
    }
    assert_eq!(
        seen("{% for i in range(1000) %}{% endfor %}{{ 2**10 }}"),
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
