//! One declaration of the keys of a table, for the reader, the editors and the reference.

/// Declares the keys of a table once: generates a struct of the values of one layer, its reader, and the keys as data.
/// An entry is a description for the operator, the key, its type, and the [`ValueType`](super::value_types::ValueType)
/// that it accepts.
macro_rules! layer {
    ($(#[$meta:meta])* struct $name:ident { $($(#[doc = $doc:literal])* $key:ident: $kind:ty = $form:expr,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Clone)]
        pub(super) struct $name<'s> {
            $($(#[doc = $doc])* pub $key: Option<$crate::adapters::config::reader::At<'s, $kind>>,)*
        }

        impl<'s> $name<'s> {
            /// Names of the keys, in the usual order.
            pub(super) const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            /// The keys as data.
            pub(super) fn keys() -> Vec<$crate::adapters::config::key::Key> {
                vec![$($crate::adapters::config::key::Key {
                    name: stringify!($key),
                    text: $crate::adapters::config::key::sentences(&[$($doc),*]),
                    kind: $crate::adapters::config::value_types::ValueType::<'s, $kind>::kind(&$form),
                }),*]
            }

            /// Reads one key; `None` for an unknown name.
            pub(super) fn set(
                &mut self,
                key: &str,
                item: $crate::adapters::config::reader::Item<'_, 's>,
                out: &mut $crate::adapters::config::reader::Diagnostics,
            ) -> Option<()> {
                match key {
                    $(stringify!($key) => {
                        let read = $crate::adapters::config::value_types::ValueType::<'s, $kind>::read(&$form, item, out);
                        self.$key = read.map(|value| $crate::adapters::config::reader::At { value, mark: item.mark });
                    })*
                    _ => return None,
                }
                Some(())
            }

            /// Reads a table and reports unknown keys.
            pub(super) fn read(
                source: &'s $crate::adapters::config::reader::Source,
                table: &toml::de::DeTable<'s>,
                out: &mut $crate::adapters::config::reader::Diagnostics,
            ) -> Self {
                let mut layer = Self::default();
                for (key, value) in table {
                    let item = $crate::adapters::config::reader::Item::new(source, value);
                    if layer.set(key.get_ref(), item, out).is_none() {
                        let mark = source.mark(key.span());
                        $crate::adapters::config::unknown_keys::unknown_key(mark, key.get_ref(), Self::KEYS, out);
                    }
                }
                layer
            }
        }
    };
}
pub(super) use layer;
