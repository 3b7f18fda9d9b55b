//! One function for each call that is about one image, or that starts or stops instances.

use super::{
    actions::{
        Accepted, CallerIdentity, CreateImageByInstance, CreatedImage, DeleteImage, GetCallerIdentity,
        SetDesktopMaintenance, StartDesktops, StartTaskForDistributeImage, StartWuyingServer, StopDesktops,
        StopWuyingServer,
    },
    answer::ApiResponse,
    client::CloudClient,
};
use crate::domain::api::call::ApiError;

impl CloudClient {
    /// Starts to make an image.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn create_image(&self, call: &CreateImageByInstance) -> Result<ApiResponse<CreatedImage>, ApiError> {
        self.call(call).await
    }

    /// Deletes an image in all regions.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn delete_image(&self, call: &DeleteImage) -> Result<ApiResponse<Option<bool>>, ApiError> {
        self.call(call).await
    }

    /// Starts to copy an image to regions; returns the task's id.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn distribute_image(&self, call: &StartTaskForDistributeImage) -> Result<ApiResponse<String>, ApiError> {
        self.call(call).await
    }

    /// Starts workstations.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn start_servers(&self, call: &StartWuyingServer) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Stops workstations.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn stop_servers(&self, call: &StopWuyingServer) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Starts cloud desktops.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn start_desktops(&self, call: &StartDesktops) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Stops cloud desktops.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn stop_desktops(&self, call: &StopDesktops) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Begins or ends the maintenance of cloud desktops.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn set_maintenance(&self, call: &SetDesktopMaintenance) -> Result<ApiResponse<Accepted>, ApiError> {
        self.call(call).await
    }

    /// Owner of the credentials.
    ///
    /// # Errors
    ///
    /// `ApiError` if the call fails.
    pub async fn caller_identity(&self) -> Result<ApiResponse<CallerIdentity>, ApiError> {
        self.call(&GetCallerIdentity).await
    }
}
