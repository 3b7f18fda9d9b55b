//! Lists: a response that must have all rows, and all pages of a list.

use super::{
    actions::{DescribeDesktops, Desktop, Image, ImagePage, ListImage, ListWuyingServer, Server},
    answer::ApiResponse,
    client::CloudClient,
    listing::{Listing, MOST_PAGES, Page, Pages, RawPage, Taken},
};
use crate::domain::{
    api::call::ApiError,
    ids::{ImageId, InstanceId},
};

/// Maximum number of reads of a list whose count keeps changing.
const MOST_READINGS: u32 = 3;

/// The readable rows of a list, and why each other one is not.
#[derive(Debug)]
pub struct Readable<T> {
    /// Readable ones.
    pub rows: Vec<T>,
    /// One sentence for each other row.
    pub unreadable: Vec<String>,
}

impl CloudClient {
    /// The images that match the filter, in one response that must contain all of them: for one image by its id. A
    /// response with another image than the requested one is not used.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn list_images(&self, call: &ListImage) -> Result<ApiResponse<ImagePage>, ApiError> {
        let asked: Vec<&str> = call.image_id.iter().map(ImageId::as_str).collect();
        let answer = self.list_once(call, &asked, |image: &Image| image.image_id.as_str()).await?;
        answer.try_map(|images| Ok(ImagePage { images }))
    }

    /// Workstations with these ids.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn list_servers(&self, call: &ListWuyingServer) -> Result<ApiResponse<Vec<Server>>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.list_once(call, &asked, |server: &Server| server.id.as_str()).await
    }

    /// Cloud desktops with these ids.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn describe_desktops(&self, call: &DescribeDesktops) -> Result<ApiResponse<Vec<Desktop>>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.list_once(call, &asked, |desktop: &Desktop| desktop.id.as_str()).await
    }

    /// The readable ones of these workstations, for people: what is missing may be unreadable.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn readable_servers(&self, call: &ListWuyingServer) -> Result<Readable<Server>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.readable_once(call, &asked, |server: &Server| server.id.as_str()).await
    }

    /// The readable ones of these cloud desktops, likewise.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn readable_desktops(&self, call: &DescribeDesktops) -> Result<Readable<Desktop>, ApiError> {
        let asked: Vec<&str> = call.ids.iter().map(InstanceId::as_str).collect();
        self.readable_once(call, &asked, |desktop: &Desktop| desktop.id.as_str()).await
    }

    async fn readable_once<L: Listing>(
        &self,
        call: &L,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<Readable<L::Row>, ApiError> {
        let answer = self.call(call).await?;
        let (rows, unreadable) = answer
            .value
            .read_whole_what_can_be::<L>(asked, id)
            .map_err(|error| ApiError { request_id: answer.request_id, ..error })?;
        self.text_faults.rows(L::ACTION, &unreadable);
        Ok(Readable { rows, unreadable })
    }

    /// All images that match the filter.
    ///
    /// # Errors
    ///
    /// `ApiError` if a page fails or the list is incomplete.
    pub async fn list_all_images(&self, filter: &ListImage) -> Result<Vec<Image>, ApiError> {
        self.list_all(filter).await
    }

    /// One response that must contain all rows; `asked` are the requested ids, if any.
    async fn list_once<L: Listing>(
        &self,
        call: &L,
        asked: &[&str],
        id: impl Fn(&L::Row) -> &str,
    ) -> Result<ApiResponse<Vec<L::Row>>, ApiError> {
        let answer = self.call(call).await?;
        let request_id = answer.request_id.clone();
        let read = answer.try_map(|page| {
            let (rows, unreadable) = page.read_whole::<L>(asked, id)?;
            self.text_faults.rows(L::ACTION, &unreadable);
            Ok(rows)
        });
        read.map_err(|error| ApiError { request_id, ..error })
    }

    /// All rows of a list that match the filter, page by page; the filter's own page is ignored. The first error ends
    /// it, because a partial list would be taken for complete. A list that changed while it was read is read again.
    ///
    /// # Errors
    ///
    /// `ApiError` if a page fails, the list is incomplete, or one of its rows is unreadable.
    pub async fn list_all<L: Listing>(&self, filter: &L) -> Result<Vec<L::Row>, ApiError> {
        Ok(self.read_list(filter, RawPage::read::<L>).await?.rows)
    }

    /// The same, for people who look at it: unreadable rows are left out and counted. Nothing may be concluded of what is
    /// missing in it, least of all that an image has no users.
    ///
    /// # Errors
    ///
    /// `ApiError` if a page fails or the list is incomplete.
    pub async fn list_readable<L: Listing>(&self, filter: &L) -> Result<Readable<L::Row>, ApiError> {
        let listed = self.read_list(filter, RawPage::read_what_can_be::<L>).await?;
        self.text_faults.rows(L::ACTION, &listed.unreadable);
        Ok(listed)
    }

    /// What could not be read in answers so far, in one line.
    pub fn damaged_answers(&self) -> Option<String> {
        self.text_faults.describe()
    }

    async fn read_list<L: Listing>(
        &self,
        filter: &L,
        read: fn(RawPage) -> Result<Page<L::Row>, ApiError>,
    ) -> Result<Readable<L::Row>, ApiError> {
        let mut reading = 1;
        loop {
            match self.read_all(filter, read).await? {
                Ok(listed) => return Ok(listed),
                Err(moved) if reading >= MOST_READINGS => return Err(moved),
                Err(_) => reading += 1,
            }
        }
    }

    /// Reads a list once; the inner error is for one that changed meanwhile.
    async fn read_all<L: Listing>(
        &self,
        filter: &L,
        read: fn(RawPage) -> Result<Page<L::Row>, ApiError>,
    ) -> Result<Result<Readable<L::Row>, ApiError>, ApiError> {
        let mut pages = Pages::<L>::default();
        let mut cursor = L::first();
        for _ in 1..=MOST_PAGES {
            let answer = self.call(&filter.page(&cursor)).await?;
            let taken = read(answer.value).and_then(|page| pages.take(page, &cursor));
            match taken.map_err(|error| ApiError { request_id: answer.request_id, ..error })? {
                Taken::Whole(rows, unreadable) => return Ok(Ok(Readable { rows, unreadable })),
                Taken::Next(next) => cursor = next,
                Taken::Moved(error) => return Ok(Err(error)),
            }
        }
        Err(pages.endless())
    }
}
